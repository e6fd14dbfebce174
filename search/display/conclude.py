"""From a search to the last lines and the exit code of a command."""

from collections.abc import Callable

from records.command_line import complain, user_mistakes
from records.files import full_disk_in_words, is_full_disk
from search.display.last_lines import report
from search.display.result import SearchResult
from search.workers.pool import TaskFailed, WorkerDied


def conclude(search: Callable[[], SearchResult]) -> int:
    """Do it, and say what it came to, or in one line why it came to nothing."""
    try:
        with user_mistakes():
            result = search()
    except KeyboardInterrupt:
        complain("stopped; nothing is lost, run the same command again to go on")
        return 130
    except (TaskFailed, WorkerDied) as error:
        complain(str(error))
        return 1
    except Exception as error:
        if not is_full_disk(error):
            raise
        complain(full_disk_in_words(error))
        return 1
    for line in report(result):
        print(line)
    return result.exit_code
