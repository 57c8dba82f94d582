"""Which Events are written, in client-go's numbers."""

from knet.client.correlation import BURST, REFILL, SIMILAR, SIMILAR_WITHIN, Correlator


def test_from_the_tenth_different_message_on_they_are_combined_until_there_was_silence() -> None:
    correlator = Correlator()
    combined = [correlator.combined("web SuccessfulCreate", f"Created pod: {number}", number) for number in range(12)]
    assert combined == [False] * (SIMILAR - 1) + [True] * 3
    assert not correlator.combined("web FailedCreate", "quota", 12)
    assert not correlator.combined("web SuccessfulCreate", "Created pod: 3", 12), "this one is counted by itself"
    assert correlator.combined("web SuccessfulCreate", "Created pod: 12", 11 + SIMILAR_WITHIN - 1)
    assert not correlator.combined("web SuccessfulCreate", "Created pod: 13", 11 + 3 * SIMILAR_WITHIN)


def test_repetitions_of_one_message_are_not_different_ones() -> None:
    correlator = Correlator()
    assert not any(correlator.combined("web BackOff", "Back-off restarting", number) for number in range(50))


def test_of_one_object_a_burst_is_written_and_then_one_in_five_minutes() -> None:
    correlator = Correlator()
    assert [correlator.admitted("web", 0.0) for _ in range(BURST + 2)] == [True] * BURST + [False] * 2
    assert correlator.admitted("other", 0.0)
    assert not correlator.admitted("web", REFILL - 1)
    assert correlator.admitted("web", REFILL + 1)
    assert not correlator.admitted("web", REFILL + 2)
