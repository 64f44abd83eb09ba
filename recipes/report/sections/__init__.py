"""The sections of a page: what it says of a run, of a search, of a comparison, and of the machines they ran on."""
