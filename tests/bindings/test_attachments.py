"""Which data files go with a document to a server, and that the server reads no others."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from gemel.bindings.plan import attached_validation, attachments_of, has_data, with_attached_data
from gemel.engine.twinfile import TwinFile, TwinFileError

LATER = "t,heater,T1,T2\n500,0,30,30\n510,0,29,29\n"
OWN = "t,T\n0,20\n7,21\n14,22\n"


def laid_out(file: TwinFile, folder: Path) -> TwinFile:
    """The document as a server has it: its text and its attachments in a folder."""
    for name, content in attachments_of(file).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return TwinFile.parse(file.text, folder)


def test_a_record_of_several_files_is_the_same_on_the_other_side(
    tmp_path: Path, plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "parts").mkdir(parents=True)
    there.mkdir()
    (here / "parts" / "one.csv").write_bytes(plate.with_name("data.csv").read_bytes())
    (here / "two.csv").write_text(LATER)
    (tmp_path / "own.csv").write_text(OWN)
    monkeypatch.setenv("ELSEWHERE", str(tmp_path))
    text = plate.read_text().replace('file = "data.csv"', 'files = ["parts/one.csv", "two.csv"]')
    text = text.replace('T2 = { column = "T2"', 'T2 = { file = "$ELSEWHERE/own.csv", column = "T"')
    local = TwinFile.parse(text, here)
    remote = laid_out(local, there)
    assert {str(path.relative_to(there)) for path in there.rglob("*.csv")} == {"parts/one.csv", "two.csv", "own.csv"}
    monkeypatch.delenv("ELSEWHERE")
    assert has_data(remote)
    one, other = local, with_attached_data(remote)
    monkeypatch.setenv("ELSEWHERE", str(tmp_path))
    first, second = one.record(), other.record()
    assert first.times is not None
    assert second.times is not None
    np.testing.assert_array_equal(first.times, second.times)
    np.testing.assert_array_equal(first.readings["T2"], second.readings["T2"])
    assert float(second.times[-1]) == 510.0


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.csv", "$HOME/x.csv", "x/$HOME", "absent.csv"])
def test_a_channel_reads_nothing_outside_the_folder(tmp_path: Path, plate: Path, name: str) -> None:
    folder = tmp_path / "twin"
    folder.mkdir()
    (folder / "data.csv").write_bytes(plate.with_name("data.csv").read_bytes())
    (tmp_path / "secret.csv").write_text(OWN)
    text = plate.read_text().replace('T2 = { column = "T2"', f'T2 = {{ file = "{name}", column = "T"')
    file = TwinFile.parse(text, folder)
    assert not has_data(file)
    with pytest.raises(TwinFileError, match="is not attached to the twin"):
        with_attached_data(file)


def test_validation_data_go_along_and_may_be_absent(tmp_path: Path, plate: Path) -> None:
    """The verdict on the other side is by them where they are there; nothing outside the folder is read."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "data.csv").write_bytes(plate.with_name("data.csv").read_bytes())
    (tmp_path / "later.csv").write_text(LATER)
    validation = plate.read_text().split("[data]")[1].split("[calibration]")[0].replace("[data.", "[validation.")
    text = plate.read_text() + "\n[validation]" + validation.replace("data.csv", "../later.csv")
    local = TwinFile.parse(text, here)
    remote = laid_out(local, there)
    found, known = attached_validation(remote), local.validation()
    assert found is not None
    assert known is not None
    np.testing.assert_array_equal(np.asarray(found.times), np.asarray(known.times))
    np.testing.assert_array_equal(found.readings["T1"], known.readings["T1"])
    (there / "later.csv").unlink()
    assert attached_validation(remote) is None
    assert attached_validation(TwinFile.parse(text, here)) is None
    assert has_data(remote)
    assert with_attached_data(remote).record().readings.keys() == {"T1", "T2"}
    assert attached_validation(TwinFile.load(plate)) is None
    (tmp_path / "data.csv").write_text(LATER)
    clash = TwinFile.parse(text.replace("../later.csv", "../data.csv"), here)
    assert attachments_of(clash)["data.csv"] == (here / "data.csv").read_bytes()
    assert attached_validation(laid_out(clash, there)) is None


def test_what_cannot_be_attached_is_told(tmp_path: Path, plate: Path) -> None:
    zarr.create_group(str(tmp_path / "log.zarr"))
    text = plate.read_text().replace('"data.csv"', '"log.zarr"')
    with pytest.raises(TwinFileError, match=r"'log.zarr' is a folder, which cannot be attached"):
        attachments_of(TwinFile.parse(text, tmp_path))
    files = plate.read_text().replace('file = "data.csv"', 'files = ["/a/x.csv", "/b/x.csv"]')
    with pytest.raises(TwinFileError, match="two data files have one name"):
        attachments_of(TwinFile.parse(files, tmp_path))
