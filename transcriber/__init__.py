"""The transcriber: one address in, one transcript out; knows nothing of batches, users or Redis."""
