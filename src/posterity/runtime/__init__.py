"""What everything stands on: compilation, threads, files, errors."""
