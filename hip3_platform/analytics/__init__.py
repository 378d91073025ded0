"""Pure functions over tables; no Dagster here."""
