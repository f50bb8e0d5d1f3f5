"""Picture files: folders, archives, tables and Parquet."""
