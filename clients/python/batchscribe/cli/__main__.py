"""``python -m batchscribe.cli``: the command, where no script is installed."""

from batchscribe.cli import main

main()
