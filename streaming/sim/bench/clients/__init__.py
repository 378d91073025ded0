"""Programs that `hip3 bench` runs as children, some in other environments: no module here imports the project."""
