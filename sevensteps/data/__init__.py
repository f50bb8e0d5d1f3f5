"""Pictures in, batches out: read, check and split pictures, and make batches."""
