"""What the two halves share: tables, paths, manifest, rotation document, control messages."""
