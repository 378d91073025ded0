"""hip3's sidecar: observes HIP-3 markets, decides behind hard gates, writes every step down."""
