"""Which images are found, and where their results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from noisewise.data import Source, find_images, output_paths
from noisewise.errors import ArgumentError


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.tif", "sub/deep/d.webp", ".git/e.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "in"


def names(sources: list[Source]) -> list[str]:
    return [source.relative.as_posix() for source in sources]


def test_folders_are_searched_for_visible_images(tree):
    sources = find_images([tree])
    assert names(sources) == ["a.JPG", "b.png", "sub/c.tif", "sub/deep/d.webp"]
    assert all(source.path == tree / source.relative for source in sources)


def test_a_file_that_is_named_is_taken_whatever_its_name(tree):
    assert names(find_images([tree / "notes.txt", str(tree / ".hidden.png")])) == ["notes.txt", ".hidden.png"]


def test_what_is_named_twice_is_taken_once(tree):
    assert names(find_images([tree / "b.png", tree, tree / "sub"])) == [
        "b.png",
        "a.JPG",
        "sub/c.tif",
        "sub/deep/d.webp",
    ]


def test_nothing_to_do_is_an_error(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    for inputs, said in (([], "at least one"), ([tree / "x.png"], "x.png"), ([tmp_path / "empty"], ".webp")):
        with pytest.raises(ArgumentError, match=said):
            find_images(inputs)


def test_structure_is_kept_below_the_output_folder(tree):
    out = tree.parent / "out"
    expected = [out / "a.JPG", out / "b.png", out / "sub/c.tif", out / "sub/deep/d.webp"]
    assert output_paths(find_images([tree]), out) == expected


def test_one_image_goes_to_a_file_or_into_a_folder(tree):
    one = find_images([tree / "b.png"])
    assert output_paths(one, "out/x.tif") == [Path("out/x.tif")]
    assert output_paths(one, "out") == [Path("out/b.png")]
    (tree / "folder.png").mkdir()
    assert output_paths(one, tree / "folder.png") == [tree / "folder.png" / "b.png"]


def test_several_images_do_not_go_into_one_file(tree):
    with pytest.raises(ArgumentError, match=r"4 images.*x\.png"):
        output_paths(find_images([tree]), "x.png")


def test_two_inputs_on_one_output_are_both_named(tree):
    other = tree.parent / "other"
    other.mkdir()
    (other / "b.png").write_bytes(b"")
    with pytest.raises(ArgumentError) as caught:
        output_paths(find_images([tree, other]), tree.parent / "out")
    assert str(tree / "b.png") in str(caught.value)
    assert str(other / "b.png") in str(caught.value)


def test_an_output_on_its_own_input_needs_permission(tree):
    sources = find_images([tree])
    with pytest.raises(ArgumentError, match="own input"):
        output_paths(sources, tree)
    assert output_paths(sources, tree, overwrite=True) == [source.path for source in sources]


def test_a_link_does_not_hide_that_the_output_is_the_input(tree):
    (tree.parent / "link").symlink_to(tree)
    with pytest.raises(ArgumentError, match="own input"):
        output_paths(find_images([tree]), tree.parent / "link")


def test_an_output_on_the_input_of_another_is_always_refused(tree):
    sources = find_images([tree / "sub/c.tif", tree / "b.png"])
    (tree / "c.tif").write_bytes(b"")
    clash = [*sources, *find_images([tree / "c.tif"])]
    with pytest.raises(ArgumentError, match="both"):
        output_paths(clash, tree, overwrite=True)
    moved = [Source(tree / "sub/c.tif", Path("b.png")), Source(tree / "b.png", Path("x.png"))]
    with pytest.raises(ArgumentError, match="would overwrite the input"):
        output_paths(moved, tree, overwrite=True)


def test_a_file_name_of_no_known_format_is_not_taken_for_a_folder(tmp_path):
    with pytest.raises(ArgumentError, match=r"names no format"):
        output_paths([Source(tmp_path / "a.png", Path("a.png"))], tmp_path / "clean.bmp")
