from wsris_lib.refer.same_words import numbered


def test_case_and_spaces_make_no_other_words():
    assert numbered(["dog", "left dog", " Dog", "left  dog", "dogs", ""]) == [0, 1, 0, 1, 2, 3]
    assert numbered([]) == []
