"""Sensors and schedules that close the loop."""
