"""The info endpoint: requests, and the bodies that answer them."""
