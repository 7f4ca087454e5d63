"""Published figures of accelerators, and what their compilers must be told where no such card is at hand."""

import os
from dataclasses import dataclass
from typing import Literal

AcceleratorName = Literal["h100", "a100", "rtx4090", "v5e", "v6e"]


@dataclass(frozen=True)
class Accelerator:
    """One chip, by its maker's data sheet; what is not in it is said to be an assumption."""

    title: str
    memory: float
    """Bytes."""
    usable: float
    """Share of the memory that JAX takes for arrays by default."""
    bandwidth: float
    """Bytes/s of the memory."""
    flops: float
    """Operations/s: of a GPU in float32 without tensor cores, of a TPU in bfloat16."""
    kernel_s: float
    """Time of a kernel beside its work; an assumption."""
    link: float
    """Bytes/s to the other chips of a machine or a TPU slice, one way."""
    wide_link: float
    """Bytes/s to chips elsewhere, one way."""
    hop_s: float
    """Latency of one step of a collective; an assumption."""
    neighbours: int
    """Chips that `link` connects."""
    extra: str
    """Extra of the package that installs the compiler."""


@dataclass(frozen=True)
class Gpu(Accelerator):
    """What XLA asks about an NVIDIA card, beside the above."""

    cores: int
    """Streaming multiprocessors."""
    lanes: int
    """Float32 operations that each begins in a cycle."""
    threads: int
    """Of a multiprocessor."""
    clock_ghz: float
    cache: int
    """Bytes of the second level."""
    shared: int
    """Bytes of shared memory of a multiprocessor."""
    capability: tuple[int, int]


@dataclass(frozen=True)
class Tpu(Accelerator):
    """How libtpu names a slice of four chips, the smallest with all their connections."""

    topology: str
    slice_type: str


# How long a kernel takes beside its work was fitted to the only measurement of this project on a card: see
# docs/scaling.md. An all-reduce takes two steps for each doubling of the chips.
ACCELERATORS: dict[AcceleratorName, Accelerator] = {
    "h100": Gpu(
        "NVIDIA H100 SXM 80 GB",
        memory=80e9,
        usable=0.75,
        bandwidth=3.35e12,
        flops=66.9e12,
        kernel_s=6e-6,
        link=450e9,
        wide_link=50e9,
        hop_s=5e-6,
        neighbours=8,
        extra="cuda13",
        cores=132,
        lanes=128,
        threads=2048,
        clock_ghz=1.98,
        cache=50 * 2**20,
        shared=228 * 2**10,
        capability=(9, 0),
    ),
    "a100": Gpu(
        "NVIDIA A100 SXM 80 GB",
        memory=80e9,
        usable=0.75,
        bandwidth=2.039e12,
        flops=19.5e12,
        kernel_s=6e-6,
        link=300e9,
        wide_link=25e9,
        hop_s=5e-6,
        neighbours=8,
        extra="cuda13",
        cores=108,
        lanes=64,
        threads=2048,
        clock_ghz=1.41,
        cache=40 * 2**20,
        shared=164 * 2**10,
        capability=(8, 0),
    ),
    "rtx4090": Gpu(
        "NVIDIA GeForce RTX 4090",
        memory=24e9,
        usable=0.75,
        bandwidth=1.008e12,
        flops=82.6e12,
        kernel_s=6e-6,
        link=32e9,
        wide_link=3e9,
        hop_s=10e-6,
        neighbours=8,
        extra="cuda13",
        cores=128,
        lanes=128,
        threads=1536,
        clock_ghz=2.52,
        cache=72 * 2**20,
        shared=100 * 2**10,
        capability=(8, 9),
    ),
    "v5e": Tpu(
        "TPU v5e",
        memory=16e9,
        usable=0.95,
        bandwidth=819e9,
        flops=197e12,
        kernel_s=1e-6,
        link=200e9,
        wide_link=6e9,
        hop_s=2e-6,
        neighbours=256,
        extra="tpu",
        topology="v5e:2x2",
        slice_type="v5litepod-4",
    ),
    "v6e": Tpu(
        "TPU v6e",
        memory=32e9,
        usable=0.95,
        bandwidth=1.64e12,
        flops=918e12,
        kernel_s=1e-6,
        link=448e9,
        wide_link=12e9,
        hop_s=2e-6,
        neighbours=256,
        extra="tpu",
        topology="v6e:2x2",
        slice_type="v6e-4",
    ),
}


def prepare_absent_accelerator(accelerator: Accelerator) -> None:
    """Set what the compilers read from the environment; before JAX is imported."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    if isinstance(accelerator, Tpu):
        os.environ |= {
            "TPU_SKIP_MDS_QUERY": "1",  # no look for Google's metadata server
            "TPU_WORKER_HOSTNAMES": "localhost",
            "TPU_ACCELERATOR_TYPE": accelerator.slice_type,
            "TPU_HOST_BOUNDS": "1,1,1",
            "TPU_CHIPS_PER_HOST_BOUNDS": "2,2,1",
        }


def gpu_description(gpu: Gpu) -> str:
    """Return XLA's description of a card (`GpuTargetConfigProto`)."""
    major, minor = gpu.capability
    extension = "ACCELERATED_FEATURES" if major >= 9 else "NONE"
    return f"""
    gpu_device_info {{
      name: "{gpu.title}"
      cuda_compute_capability {{ major: {major} minor: {minor} feature_extension: {extension} }}
      core_count: {gpu.cores}  fpus_per_core: {gpu.lanes}  clock_rate_ghz: {gpu.clock_ghz}
      device_memory_size: {gpu.memory:.0f}  memory_bandwidth: {gpu.bandwidth:.0f}
      l2_cache_size: {gpu.cache}  shared_memory_per_core: {gpu.shared}
      shared_memory_per_block: 49152  shared_memory_per_block_optin: {gpu.shared - 1024}
      registers_per_core_limit: 65536  registers_per_block_limit: 65536
      threads_per_warp: 32  threads_per_block_limit: 1024  threads_per_core_limit: {gpu.threads}
      thread_dim_limit_x: 1024  thread_dim_limit_y: 1024  thread_dim_limit_z: 64
      block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
      driver_version: "13.0.0"  runtime_version: "13.0.0"  compile_time_toolkit_version: "13.0.0"
      dnn_version: "9.12.0"
    }}
    platform_name: "CUDA"
    dnn_version_info {{ major: 9 minor: 12 }}
    device_description_str: "{gpu.title}"
    """
