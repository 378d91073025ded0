"""Ways of working a day off: modules with `work(root, out, day)`; `python -m hip3_platform.bench.child` runs one."""
