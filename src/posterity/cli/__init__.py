"""The console command: each file parses, calls the library and prints."""
