"""The sections of a page: about a run, a search, a comparison, and the machines on which they ran."""
