"""What people look at: figures of the evidence, and the page that collects a day of them."""
