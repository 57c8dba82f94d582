"""`knet trace`: one marked probe, followed there and back, and why each hop of it happened.

What was seen (`knet.inspect.observe`) and what should be seen (`knet.inspect.predict`) are told in one vocabulary,
`hops`; `probe` says what is sent, `evidence` what a failure leaves behind.  Where the two differ is the finding.
"""
