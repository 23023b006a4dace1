"""What messages say of the shape of a task's data."""

from surefoot.types import DataSpec


def test_a_shape_is_worded() -> None:
    vectors, images = DataSpec(11, 2, 300), DataSpec(768, 2, 30, (16, 16, 3))
    assert vectors.worded == "observations of 11 numbers, actions of 2 numbers, episodes of 300 steps"
    assert images.worded == "images of 16 x 16 x 3, actions of 2 numbers, episodes of 30 steps"
