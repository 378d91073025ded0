"""Closed journal segments become sealed Parquet parts and manifest lines."""
