"""`knet trace`: one packet, ours or somebody else's, followed there and back, and why each hop of it happened.

What was seen (`knet.inspect.observe`) and what should be seen (`knet.inspect.predict`) are told in one vocabulary,
`hops`; `evidence` has what was sent and what a failure leaves behind.  Where the two differ is the finding.
"""
