"""hpa-example, the php-apache of the HorizontalPodAutoscaler walkthrough: each request costs a million square roots."""

from math import sqrt

from server import Response, log, serve


def handle(request):
    total = 0.0001
    for _ in range(1_000_000):
        total += sqrt(total)
    return Response("OK!")


def main(arguments):
    log("listening on port 80")
    serve([80], handle)
