"""The rules of one object on each machine, as they are in the kernel now, held against what is expected.

known    what tells lines to be of an object
compare  what of the kernel's is the object's, what is missing, what should not be there
report   as text and as JSON
"""
