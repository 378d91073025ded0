"""Money: accounts, positions, margin, fees, funding, liquidation, settlement."""
