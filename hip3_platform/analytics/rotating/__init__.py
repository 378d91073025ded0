"""From what markets earned to the document that says which may trade: score, standing, allocation, blacklist, document.

Source: evidence method, section 9. Every module is pure functions; `rotate.rotate` is the one call that joins them, and
`archive` the only one that reads and writes files.
"""
