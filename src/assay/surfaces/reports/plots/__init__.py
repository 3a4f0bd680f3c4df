"""Pictures for people as SVG text: intervals, curves, rates. Pure functions from values to one `<svg>` each; no library.

Every picture names its axes and units, shows how many rows stand behind each mark, tells series apart by shape and dash as
well as by colour (Okabe and Ito's palette), follows the reader's light or dark scheme, and holds no script, link or font.
Names may come from an attacker: all text passes `svg.text`, which makes it inert and escapes it.
"""
