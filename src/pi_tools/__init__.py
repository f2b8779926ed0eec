"""Tools for a coding agent: read, write, edit, bash, grep, find and ls in a working directory.

The same logic runs over other machines through replaceable operations.
"""

from pi_tools.bash import BashSpawn, create_bash_tool
from pi_tools.confine import Confinement, PathOutsideRootsError
from pi_tools.confined import confined_to
from pi_tools.confined_files import ConfinedFileOperations, ConfinedOperations
from pi_tools.confined_search import ConfinedSearchOperations
from pi_tools.edit import create_edit_tool, prepare_edit_arguments
from pi_tools.factory import (
    ALL_TOOL_NAMES,
    CODING_TOOL_NAMES,
    READ_ONLY_TOOL_NAMES,
    BashToolOptions,
    EditToolOptions,
    FindToolOptions,
    GrepToolOptions,
    LsToolOptions,
    ReadToolOptions,
    ToolOptions,
    WriteToolOptions,
    create_all_tools,
    create_coding_tools,
    create_read_only_tools,
    create_tool,
)
from pi_tools.file_page import FilePage
from pi_tools.find import create_find_tool
from pi_tools.grep import create_grep_tool
from pi_tools.images import (
    ImageOmittedError,
    ImageResizeOptions,
    ProcessedImage,
    model_resize_options,
    process_image,
)
from pi_tools.local_search import LocalSearchOperations
from pi_tools.ls import create_ls_tool
from pi_tools.mutation_queue import with_file_mutation_queue
from pi_tools.operations import (
    BashOperations,
    DetectsImages,
    EditOperations,
    FileOperations,
    KnowsFileSize,
    LocalBashOperations,
    LocalFileOperations,
    PagesFiles,
    ReadOperations,
    StreamsFiles,
    WriteOperations,
)
from pi_tools.os_errors import FileSystemError
from pi_tools.output_cleaning import clean_output
from pi_tools.paths import KnowsPaths
from pi_tools.prefix import CommandPrefix
from pi_tools.prefixed import over_prefix
from pi_tools.prefixed_bash import PrefixedBashOperations
from pi_tools.prefixed_files import PrefixedFileOperations
from pi_tools.prefixed_search import PrefixedSearchOperations
from pi_tools.process import (
    CommandAbortedError,
    CommandTimeoutError,
    OnData,
    kill_running_commands,
)
from pi_tools.read import create_read_tool
from pi_tools.search_operations import (
    ContentSearch,
    DirectoryEntry,
    FindOperations,
    FoundLine,
    GrepOperations,
    ListsDirectories,
    LsOperations,
    SearchEnd,
    SearchesContents,
    SearchesNames,
    SearchOperations,
)
from pi_tools.search_program import SearchEngine
from pi_tools.truncate import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_LINES,
    TruncationResult,
    format_size,
    truncate_head,
    truncate_line,
    truncate_tail,
)
from pi_tools.user_bash import UserBashResult, execute_bash
from pi_tools.write import create_write_tool

__all__ = (
    "ALL_TOOL_NAMES",
    "CODING_TOOL_NAMES",
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_LINES",
    "READ_ONLY_TOOL_NAMES",
    "BashOperations",
    "BashSpawn",
    "BashToolOptions",
    "CommandAbortedError",
    "CommandPrefix",
    "CommandTimeoutError",
    "ConfinedFileOperations",
    "ConfinedOperations",
    "ConfinedSearchOperations",
    "Confinement",
    "ContentSearch",
    "DetectsImages",
    "DirectoryEntry",
    "EditOperations",
    "EditToolOptions",
    "FileOperations",
    "FilePage",
    "FileSystemError",
    "FindOperations",
    "FindToolOptions",
    "FoundLine",
    "GrepOperations",
    "GrepToolOptions",
    "ImageOmittedError",
    "ImageResizeOptions",
    "KnowsFileSize",
    "KnowsPaths",
    "ListsDirectories",
    "LocalBashOperations",
    "LocalFileOperations",
    "LocalSearchOperations",
    "LsOperations",
    "LsToolOptions",
    "OnData",
    "PagesFiles",
    "PathOutsideRootsError",
    "PrefixedBashOperations",
    "PrefixedFileOperations",
    "PrefixedSearchOperations",
    "ProcessedImage",
    "ReadOperations",
    "ReadToolOptions",
    "SearchEnd",
    "SearchEngine",
    "SearchOperations",
    "SearchesContents",
    "SearchesNames",
    "StreamsFiles",
    "ToolOptions",
    "TruncationResult",
    "UserBashResult",
    "WriteOperations",
    "WriteToolOptions",
    "clean_output",
    "confined_to",
    "create_all_tools",
    "create_bash_tool",
    "create_coding_tools",
    "create_edit_tool",
    "create_find_tool",
    "create_grep_tool",
    "create_ls_tool",
    "create_read_only_tools",
    "create_read_tool",
    "create_tool",
    "create_write_tool",
    "execute_bash",
    "format_size",
    "kill_running_commands",
    "model_resize_options",
    "over_prefix",
    "prepare_edit_arguments",
    "process_image",
    "truncate_head",
    "truncate_line",
    "truncate_tail",
    "with_file_mutation_queue",
)
