"""The command line, `pet` and `kubectl pet`: one module for each command, put together in `app`."""
