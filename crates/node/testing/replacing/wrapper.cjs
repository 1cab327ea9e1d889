module.exports = require('express-session')
