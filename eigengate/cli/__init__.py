"""The command line, and the roof of the house.

The only place that prints, and the only one that may import ``service`` and ``workers`` (to start them). Each command
is one file; what they share is how they show progress, reports and errors. No measuring and no judging happens here.
"""
