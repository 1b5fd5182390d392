// An OpenID provider on loopback for the tests: oidc-provider with users that a test makes up.
//
// Settings come as JSON in PROVIDER: `redirect`, the client's redirect URI; `secret`, its secret,
// none for a public client; `cert` and `key`, PEM files, none for plain HTTP. Who logs in types a
// user as JSON: `sub`, claims, and perhaps `amr`, or `refuse`, an error of OAuth, or `forge`, which
// changes the ID token: `claims` in it, `alg` "none", or the `key` of a stranger.
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import http from 'node:http';
import https from 'node:https';
import { pathToFileURL } from 'node:url';

// stdout says where the provider is, and nothing else.
console.log = console.info = console.warn = console.error;

const settings = JSON.parse(process.env.PROVIDER);
const modules = createRequire(`${settings.modules}/`);
const { default: Provider } = await import(pathToFileURL(modules.resolve('oidc-provider')));

const makeKey = (kid) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const more = { kid, use: 'sig', alg: 'RS256' };
  return {
    kid,
    privateKey,
    secret: { ...privateKey.export({ format: 'jwk' }), ...more },
    open: { ...publicKey.export({ format: 'jwk' }), ...more },
  };
};
let current = makeKey('first');
const stranger = makeKey('first');

const users = new Map();
const tls = settings.cert && { cert: readFileSync(settings.cert), key: readFileSync(settings.key) };
const server = tls ? https.createServer(tls) : http.createServer();
await new Promise((done) => server.listen(settings.port ?? 0, '127.0.0.1', done));
const issuer = `${tls ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'wsexec',
      redirect_uris: [settings.redirect],
      ...(settings.secret
        ? { client_secret: settings.secret }
        : { token_endpoint_auth_method: 'none' }),
    },
  ],
  jwks: { keys: [current.secret] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  conformIdTokenClaims: false,
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups', 'amr'] },
  pkce: { required: () => true, methods: ['S256'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ ...users.get(id), sub: id }) }),
  // Nobody is asked whether they agree.
  loadExistingGrant: async (ctx) => {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile');
    await grant.save();
    return grant;
  },
});

const encode = (it) => Buffer.from(it).toString('base64url');
const decode = (text) => JSON.parse(Buffer.from(text, 'base64url'));

// Signs an ID token anew with the key of now, changed as the user says whom it is of.
const reissue = (token) => {
  let [header, claims] = token.split('.').slice(0, 2).map(decode);
  const forge = users.get(claims.sub)?.forge ?? {};
  claims = { ...claims, ...forge.claims };
  header = { ...header, alg: forge.alg ?? 'RS256', kid: current.kid };
  const text = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
  if (header.alg === 'none') return `${text}.`;
  if (header.alg === 'HS256') {
    return `${text}.${createHmac('sha256', settings.secret).update(text).digest('base64url')}`;
  }
  const { privateKey } = forge.key === 'stranger' ? stranger : current;
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
};

provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route === 'token' && ctx.body?.id_token) {
    ctx.body.id_token = reissue(ctx.body.id_token);
  }
  if (ctx.oidc?.route === 'jwks') ctx.body = { keys: [current.open] };
});

const page = `<!doctype html><title>Provider</title><h1>Log in at the provider</h1>
<form method="post"><input name="user" id="user"><button id="go">Log in</button></form>`;

const body = async (request) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
};

const interact = async (request, response) => {
  if (request.method === 'GET') {
    await provider.interactionDetails(request, response);
    response.setHeader('content-type', 'text/html');
    response.end(page);
    return;
  }
  const { sub, amr, refuse, ...claims } = JSON.parse((await body(request)).get('user'));
  users.set(sub, claims);
  const result = refuse
    ? { error: refuse, error_description: '<script>alert(1)</script>' }
    : { login: { accountId: sub, amr } };
  await provider.interactionFinished(request, response, result);
};

server.on('request', (request, response) => {
  if (request.url.startsWith('/interaction/')) {
    interact(request, response).catch((error) => {
      response.statusCode = 400;
      response.end(String(error));
    });
  } else if (request.url === '/rotate') {
    current = makeKey(`key-${Date.now()}`);
    response.end('rotated');
  } else {
    provider.callback()(request, response);
  }
});
process.stdout.write(`${issuer}\n`);
