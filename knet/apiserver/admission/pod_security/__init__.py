"""PodSecurity: the Pod Security Standards, asked for by labels of a namespace.

https://kubernetes.io/docs/concepts/security/pod-security-admission/ and …/pod-security-standards/.  `policy` reads the
labels, `checks` holds the standards as one table of pure functions, `plugin` refuses and warns.
"""
