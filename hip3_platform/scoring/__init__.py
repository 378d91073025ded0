"""Scores the evidence path on simulated universes whose truth is known; the only part that imports streaming.sim.

Rule: what decides sees tables. Truth meets decisions in `figures` only, after they have been made.
"""
