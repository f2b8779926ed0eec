"""One file per wire format. Imported when a model of that format is first used."""
