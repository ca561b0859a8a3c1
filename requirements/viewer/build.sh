#!/usr/bin/env bash
# Makes src/voxprior/web/static/niivue.js of the npm packages in package.json. Run it after a change there, and put the
# new digest and versions into niivue-licences.txt beside it. Needs node.
set -euo pipefail
cd "$(dirname "$0")"
npm install --no-audit --no-fund
npx esbuild entry.js --bundle --minify --format=esm --target=es2022 --charset=utf8 --legal-comments=eof \
    --alias:zarrita=./zarrita.js --outfile=../../src/voxprior/web/static/niivue.js
sha256sum ../../src/voxprior/web/static/niivue.js
