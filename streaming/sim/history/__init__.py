"""Virtual time: whole days of the generator through the engine, or straight into tables."""
