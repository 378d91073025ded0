"""The only place with I/O: sockets, clock, files, processes."""
