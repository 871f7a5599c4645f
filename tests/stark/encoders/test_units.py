import json

import pytest
import torch

from stark.encoders.units import KeptUnits, UnitMasks


def test_json_round_trip_of_random_units():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        layers = [torch.randperm(30, generator=generator)[:n].sort().values.tolist() for n in (0, 1, 12, 30)]
        units = KeptUnits(tuple(map(tuple, layers)), tuple(map(tuple, reversed(layers))))
        assert KeptUnits.from_json(json.loads(json.dumps(units.to_json()))) == units


def test_select_and_masks_within_are_inverse():
    units = KeptUnits(heads=((0, 2, 3), (1,)), neurons=((1, 5), (0, 2, 4)))
    kept = units.select(
        UnitMasks([torch.tensor([1, 0, 1]), torch.tensor([0])], [torch.tensor([0.0, 1.0]), torch.ones(3, dtype=bool)])
    )
    assert kept == KeptUnits(heads=((0, 3), ()), neurons=((5,), (0, 2, 4)))
    assert units.select(kept.masks_within(units)) == kept
    assert kept.of_layers([1]) == KeptUnits(heads=((),), neurons=((0, 2, 4),))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.tensor([1, 0]), r"head mask of layer 0 has shape \(2,\), not \(3,\)"),
        (torch.tensor([1.0, 0.5, 0.0]), "head mask of layer 0 holds other values than 0"),
    ],
)
def test_select_refuses(mask, message):
    with pytest.raises(ValueError, match=message):
        KeptUnits(((0, 1, 2),), ((0,),)).select(UnitMasks([mask], [torch.ones(1)]))


def test_bad_units_are_refused():
    with pytest.raises(ValueError, match="1 layers of heads but 2 of neurons"):
        KeptUnits(((0,),), ((0,), (0,)))
    with pytest.raises(ValueError, match="kept neurons of layer 0 are not ascending"):
        KeptUnits(((0,),), ((2, 1),))
    with pytest.raises(ValueError, match="layer 1 does not have the heads 4-5"):
        KeptUnits(((0,), (4, 5)), ((), ())).masks_within(KeptUnits(((0,), (3,)), ((), ())))
    with pytest.raises(ValueError, match="not a list of ranges"):
        KeptUnits.from_json({"heads": ["0-x"], "neurons": [""]})
    with pytest.raises(ValueError, match="need the keys heads and neurons"):
        KeptUnits.from_json({"heads": []})
