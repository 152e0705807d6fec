"""A TextGrid of Praat in its long and its short text format, for tests and as seeds of fuzzing."""

from typing import Final

LONG_GRID: Final = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 8
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "Anna B."
        xmin = 0
        xmax = 8
        intervals: size = 5
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 2
            text = "He said ""hello"" = 5"
        intervals [3]:
            xmin = 2
            xmax = 5
            text = "sil"
        intervals [4]:
            xmin = 5
            xmax = 6.125
            text = "Yes.
And 12 no."
        intervals [5]:
            xmin = 6.125
            xmax = 8
            text = ""
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 8
        points: size = 1
        points [1]:
            number = 3
            mark = "click"
    item [3]:
        class = "IntervalTier"
        name = "SPEAKER_01"
        xmin = 0
        xmax = 8
        intervals: size = 1
        intervals [1]:
            xmin = 1.75
            xmax = 4.25
            text = "Ach so!"
"""
SHORT_GRID: Final = """File type = "ooTextFile"
"TextGrid"

0
8
<exists>
2
"IntervalTier"
"Anna B."
0
8
2
0.5
2
"a"
5
6.125
"b"
"IntervalTier"
"SPEAKER_01"
0
8
1
1.75
4.25
"c"
"""
