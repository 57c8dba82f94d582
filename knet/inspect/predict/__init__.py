"""What should become of a packet: from a `World` and where the packet starts to its whole way there and back.  Pure.

============  ====================================================================================================
`permits`     the network policies' say
`services`    kube-proxy's: which endpoints, under whose address
`cables`      which cables a frame crosses from one interface to another
`routes`      each machine's way to an address, and the trail over all of them
`walk`        what each machine on the way does with the packet, in the order in which the kernel does it
`path`        a probe's whole way, hop by hop (`telling`): what `knet trace` holds against what it has seen
`diagnosis`   why a probe did not get through: from the prediction and what was seen to the culprit and the cure
              (`case`; `happened` and `missing` are the diagnosers)
`verdicts`    whether one end reaches another: what `knet reach` asks for thousands of pairs
============  ====================================================================================================
"""
