"""What an object changes, or has changed, on each machine: rules, sets, routes, neighbours, forwarding entries, names.

The text of what is expected comes from the very functions that the components apply (`knet.inspect.desired` and their
renderers); what is there is read from the kernel.  Both become one kind of value, a picture::

    picture     what a machine should hold: sections (a chain, a set, a virtual server …) of lines
    kernel      what it holds
    spelling    when two lines say the same
    difference  from one picture to another
    objects     a world with an object in it, changed, or without it, and what the controllers make of that
    narrowing   which of many Services matter for that, so that no others are drawn
    records     DNS, which is one for all machines
    ingress     likewise the Ingress controller's configuration and certificates
    explain     all of it for one object, machines that agree together
    report      as text, in colour, and as JSON
"""
