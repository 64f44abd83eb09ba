"""What each command does, one a file. Nothing heavy is imported before it is needed."""
