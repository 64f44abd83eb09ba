"""A search in a database that any number of machines may share: its settings, its trials, and who trains them."""

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
