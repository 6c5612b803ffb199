# vecfill in a container: its own user, and a root that may be read-only. What it writes is in /work.
#
#   docker build --tag vecfill .
#   docker run --rm --read-only --env-file .env.local --volume "$PWD:/work" vecfill plan
#
# The folder that is mounted has to be writable for user 1000, or name yours: --user "$(id -u):$(id -g)".
FROM node:24-slim AS build
WORKDIR /vecfill
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:24-slim
WORKDIR /vecfill
COPY --from=build /vecfill/package.json ./
COPY --from=build /vecfill/node_modules node_modules
COPY --from=build /vecfill/dist dist
COPY bin bin
RUN ln -s /vecfill/bin/vecfill.js /usr/local/bin/vecfill && install --directory --owner=node --group=node /work
USER node
WORKDIR /work
VOLUME /work
ENTRYPOINT ["vecfill"]
CMD ["--help"]
