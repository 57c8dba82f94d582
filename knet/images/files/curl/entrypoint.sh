#!/bin/sh
# As in the official image: options and unknown words are curl's, anything else is a program to run.
if [ "${1#-}" != "$1" ] || ! command -v "$1" >/dev/null; then
    set -- curl "$@"
fi
exec "$@"
