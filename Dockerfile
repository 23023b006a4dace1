# Surefoot on a CPU:
#   docker build -t surefoot .
#   docker run --rm -v "$PWD:/work" surefoot quickstart
# On an NVIDIA GPU (the host needs the NVIDIA container toolkit):
#   docker build --build-arg EXTRAS='[cuda]' -t surefoot:cuda . && docker run --rm --gpus all -v "$PWD:/work" surefoot:cuda bench act runs/mine
FROM python:3.12-slim AS build
RUN python -m venv /opt/surefoot
ENV PATH=/opt/surefoot/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# The pinned versions by their hashes, a layer that a change of the sources leaves as it is.
COPY requirements/lock.txt requirements/lock.txt
RUN pip install --require-hashes --only-binary :all: -r requirements/lock.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
ARG EXTRAS=""
RUN pip install --no-deps --no-build-isolation . \
 && if [ -n "$EXTRAS" ]; then sed 's/ *\\$//; /--hash/d' requirements/lock.txt > /tmp/pins.txt && pip install -c /tmp/pins.txt ".$EXTRAS"; fi

FROM python:3.12-slim
COPY --from=build /opt/surefoot /opt/surefoot
ENV PATH=/opt/surefoot/bin:$PATH MPLBACKEND=agg MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --create-home surefoot
USER surefoot
WORKDIR /work
ENTRYPOINT ["surefoot"]
CMD ["--help"]
