"""A search in a database that any number of machines may share: what they agree on, and whose each trial is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "database": ["Database", "sqlite_url"],
        "leases": ["TABLES", "Leases"],
        "rows": ["Rows"],
        "storage_oracle": ["StorageOracle"],
        "study": ["Study"],
    },
)
