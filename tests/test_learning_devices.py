"""A network that was given a GPU and finds none says so, and trains on the CPU."""

import logging

from lensmill.learning import devices


def test_a_gpu_that_cannot_be_used_is_named_in_the_log(monkeypatch, caplog):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda kind: [])
    with caplog.at_level(logging.INFO):
        assert devices.report() == []
    assert "FALLING BACK TO THE CPU: this job was given GPU 3" in caplog.text


def test_without_a_gpu_nothing_is_wrong(monkeypatch, caplog):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_STEP_GPUS", raising=False)
    monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda kind: [])
    with caplog.at_level(logging.INFO):
        devices.report()
    assert "training on the CPU" in caplog.text and "FALLING" not in caplog.text
