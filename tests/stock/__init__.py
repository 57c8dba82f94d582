"""Tests in a stock Debian kernel under QEMU: what the running kernel may lack (netem, IPVS, …).

Whatever is in this directory runs there: the conftest boots the kernel that ``scripts/install --dev`` has unpacked,
once per test run, has pytest run the selected tests in it, and hands each one's result on as its own.

To add a test, write it here as any other.  It is root of a machine of its own that sees the host's files and may
write to all of them (a layer that is thrown away), and has no network but ``lo``.  A module that a test needs is
loaded by what is tested, or by ``features.require``.  Everything is emulated, some ten times slower than the host, so
tests here are few and small: one body that builds a network once and asks several things of it, and no import of
hypothesis or scapy.  A whole cluster (`trace_of_ipvs`) takes a minute.  What fails shows the machine's assertion; a
machine that ends too early shows its console.

    sudo scripts/test tests/stock -k netem          in the stock kernel
    KNET_STOCK=running pytest tests/stock           in the running one, where it has all that they need
"""
