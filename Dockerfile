# docker build -t mag .                                 for CPUs
# docker build -t mag:cuda --build-arg EXTRAS=cuda .    for NVIDIA GPUs; run with --gpus all
FROM python:3.11-slim

ARG EXTRAS=""
WORKDIR /opt/mag
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY mag mag
# Exact versions first; extras bring what they need besides, of the same JAX.
RUN pip install --no-cache-dir --requirement requirements.lock \
    && pip install --no-cache-dir --constraint requirements.lock ".${EXTRAS:+[$EXTRAS]}"

ENV MAG_CACHE=/var/cache/mag
RUN mkdir -p /var/cache/mag /work && chmod 777 /var/cache/mag /work
WORKDIR /work
ENTRYPOINT ["mag"]
CMD ["--help"]
